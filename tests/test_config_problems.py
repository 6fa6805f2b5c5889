"""What is said when an operator errs: everything, at once, in place, and without secrets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exporter.config import ConfigError, gathering, load, yamlfile
from tests.configs import BAD, EXAMPLE, URL, keys, problems, write


def expected(path: Path) -> list[str]:
    lines = path.read_text("utf-8").splitlines()
    return [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]


@pytest.mark.parametrize("path", sorted(BAD.glob("bad-*.yaml")), ids=lambda path: path.stem)
def test_a_bad_file_is_told_all_its_problems_in_order(path):
    """Each file says what it expects, from the line number on."""
    assert [p.removeprefix(f"{path.name}:").strip() for p in problems(path)] == expected(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    assert problems(tmp_path / "absent.yaml", tmp_path) == [
        "absent.yaml: cannot be read: No such file or directory",
        ": cannot be read: Is a directory",
    ]


def test_a_file_of_another_encoding_is_refused_with_its_line(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes("issuers:\n  - url: https://bücher.example".encode("latin-1"))

    assert problems(path) == ["config.yaml:2: not UTF-8"]


def test_an_endless_file_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(gathering, "MAX_FILE_BYTES", 10)

    assert problems(write(tmp_path, "issuers: [] # long")) == [
        "config.yaml: cannot be read: File too large"
    ]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("root:x:0:0:root:/root:/bin/bash", "text"),
        ("secret: s3cr3t", "a mapping"),
        ("4711", "a single value"),
        ("# nothing", "an empty file"),
    ],
)
def test_a_file_that_was_not_meant_is_not_shown(tmp_path, text, kind):
    """What is said ends up in logs, and in the answer of a reload."""
    path = write(tmp_path, "issuer_files: [more.txt]")
    write(tmp_path, text, "more.txt")

    assert problems(path) == [f"more.txt: want a list of issuers, got {kind}"]


def test_an_issuer_whose_url_is_no_name_needs_one(tmp_path):
    """IAM takes 255 characters; the URL alone is the probe's business, a label is ours."""
    url = f"{URL}/{'x' * 250}"

    assert problems(write(tmp_path, f"issuers: [{{url: {url}}}]")) == [
        "config.yaml:1: issuers[0].url: want a name of its own beside a URL of 264 characters"
    ]
    assert (
        load([write(tmp_path, f"issuers: [{{url: {url}, name: long}}]")]).issuers[0].url == url
    )


def test_a_value_of_any_length_is_told_in_a_line(tmp_path):
    (said,) = problems(write(tmp_path, f"issuers: [{{url: '{URL}/{'x' * 3000}', name: long}}]"))

    assert said.endswith("xxx'; it has 3022 characters of at most 2048")
    assert len(said) < 300


def test_a_password_is_not_repeated_wherever_it_stands(tmp_path):
    """What is said ends up in logs, and in the answer of a reload."""
    secret = f"s3cr3t/{'p' * 100}with@signs"
    path = write(
        tmp_path,
        f"""
        vantage: [https://user:{secret}@host]
        defaults:
          proxy_url: http://user:{secret}@proxy:3128
          nameservers: x://user:{secret}@host
        issuers:
          - url: https://user:{secret}@a.example.com/{"x" * 300}
          - https://user:{secret}@{"x" * 300}
    """,
    )

    said = "\n".join(problems(path))

    assert "s3cr3t" not in said
    assert said.count("***@") == 5


# Whatever is written.


def test_without_libyaml_everything_means_the_same(monkeypatch):
    """A PyYAML built from source may lack the C parser."""
    fast = load([EXAMPLE])
    monkeypatch.setattr(yamlfile, "_LOADER", yaml.SafeLoader)

    assert load([EXAMPLE]) == fast
    assert problems(BAD / "bad-depth.yaml") == ["bad-depth.yaml:2: nested more than 20 deep"]
    assert problems(BAD / "bad-tab.yaml")[0].startswith("bad-tab.yaml:3: not YAML: ")


KEYS = [*sorted(keys(yaml.safe_load(EXAMPLE.read_text("utf-8")))), "targets", "x", "<<"]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from([URL, "https://", "5s", "1MiB", "[::1]:53", "a:1", "*.yaml", "../..", "/"]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=5), inner, max_size=4),
    ),
    max_leaves=12,
)


def outcome(path: Path) -> str | tuple[str, ...]:
    try:
        load([path])
    except ConfigError as error:
        return error.problems
    return "right"


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    document=st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5),
    entries=st.lists(st.dictionaries(st.sampled_from(KEYS), SCALARS, max_size=4), max_size=3),
)
def test_whatever_is_written_is_a_configuration_or_a_list_of_problems(
    tmp_path, document, entries
):
    path = tmp_path / "config.yaml"
    path.write_text(
        yaml.safe_dump({"issuers": entries, **document}, allow_unicode=True), "utf-8"
    )

    said = outcome(path)

    assert said == "right" or (said and all(p.isprintable() and len(p) < 1000 for p in said))


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="abc:-[]{},&*!|>'\"%@`#?~<0. \t\n", max_size=40))
def test_whatever_the_syntax_the_parser_returns(text):
    source, found = yamlfile.parse(Path("config.yaml"), text.encode())

    assert source is not None or len(found) == 1
