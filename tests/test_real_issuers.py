"""Real documents of real issuers: the verdict on each, written down by hand.

Whoever changes a rule sees here whom it hits. The same verdicts, generated, are the page
`docs/real-issuers.md`.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exporter.demo import verdicts
from exporter.model import Discovery, KeySet
from exporter.reasons import Code, Level

ROOT = Path(__file__).parent.parent
RECORDINGS = ROOT / "exporter/demo/data/real-issuers"
THIN = [("discovery", "required_field_missing", "notice")]

#: Recording -> (verdict, usable keys, published keys, findings).
EXPECTED = {
    "airflow-github-raw-2023": ("usable", 1, 1, []),
    "auth0-2022": (
        "usable",
        2,
        2,
        [("discovery", "cache_short", "notice"), ("jwks", "cache_short", "notice")],
    ),
    "azure-workload-identity-github-raw": ("usable", 1, 1, THIN),
    "buildkite-discovery": ("fine", None, None, []),
    "circleci-discovery": ("fine", None, None, []),
    "cognito-2025-jwks": ("fine", 2, 2, []),
    "cognito-discovery": ("fine", None, None, THIN),
    "cube-tti-github-pages-2026": ("usable", 1, 1, THIN),
    "eks-discovery": ("fine", None, None, []),
    "entra-common-2022": ("document/issuer_mismatch", 10, 10, []),
    "firefly-es256-2025": ("usable", 1, 1, THIN),
    "github-actions-2022": ("usable", 2, 2, []),
    "github-actions-2023": ("usable", 2, 2, []),
    "github-actions-2025-jwks": ("fine", 4, 4, []),
    "gitlab-2025": ("usable", 3, 3, []),
    "google-2022": ("usable", 2, 2, []),
    "google-2025-jwks": ("fine", 2, 2, []),
    "hcp-terraform-discovery": ("fine", None, None, []),
    "identityserver-mismatch-2022": ("document/issuer_mismatch", 1, 1, []),
    "jenkins-github-pages": ("usable", 1, 1, THIN),
    "k3s-own-domain-2026": ("usable", 1, 1, THIN),
    "k8s-github-raw-rsa4096-2024": ("usable", 1, 1, THIN),
    "k8s-internal-issuer-2026": ("document/issuer_mismatch", 4, 4, THIN),
    "keycloak-2022": (
        "usable",
        1,
        2,
        [
            ("discovery", "no_cache", "notice"),
            ("discovery", "no_store", "notice"),
            ("jwks", "no_cache", "warning"),
            ("jwks", "encryption_use", "notice"),
        ],
    ),
    "kind-trailing-garbage-2026": ("document/invalid_json", 1, 1, []),
    "minikube-github-pages-2026": ("usable", 1, 1, THIN),
    "octopus-bom-2026": ("document/encoding", None, None, []),
    "okta-2022": ("usable", 2, 2, []),
    "onelogin-2022": ("usable", 1, 1, []),
    "s3-capa-discovery": ("fine", None, None, []),
    "spire-github-pages": ("usable", 1, 1, THIN),
    "vault-2022": ("usable", 2, 2, [*THIN, ("jwks", "no_store", "warning")]),
}
#: Key set's lifetime in seconds, where the recorded headers give one.
LIFETIMES = {
    "auth0-2022": 15,
    "entra-common-2022": 86_400,
    "gitlab-2025": 86_400,
    "google-2022": 21_532,
    "okta-2022": 3_828_277,
}

JUDGED = {verdict.recording: verdict for verdict in verdicts.verdicts()}


def test_every_recording_is_judged_and_explained():
    files = {file.stem for file in RECORDINGS.glob("*.json")}
    readme = (RECORDINGS / "README.md").read_text()

    assert set(JUDGED) == set(EXPECTED) == files
    assert len(files) == 32
    assert {name for name in files if f"`{name}.json`" not in readme} == set()


@pytest.mark.parametrize("name", EXPECTED)
def test_the_verdict_is_the_one_written_down(name):
    verdict = JUDGED[name]
    keys = verdict.key_set.keys if isinstance(verdict.key_set, KeySet) else None
    usable = None if keys is None else sum(key.is_usable for key in keys)
    found = [(f.document.value, f.code.value, f.level.value) for f in verdict.findings]

    assert (verdict.summary, usable, keys and len(keys), found) == EXPECTED[name]
    assert verdict.lifetime_seconds == LIFETIMES.get(name)


def found(code: Code, level: Level = Level.WARNING) -> set[str]:
    return {
        name
        for name, verdict in JUDGED.items()
        if any(f.code is code and f.level is level for f in verdict.findings)
    }


def test_among_real_issuers_only_one_forbids_caching_its_key_set():
    """Keycloak in development mode: the fourth cause of AWS's article, in the wild."""
    assert found(Code.NO_CACHE) == {"keycloak-2022"}
    assert found(Code.NO_STORE) == {"vault-2022"}


def test_no_real_key_set_publishes_a_secret_or_contradicts_itself():
    for code in (Code.PRIVATE_KEY_EXPOSED, Code.X5C_CONFLICT, Code.DUPLICATE_KID):
        assert not any(found(code, level) for level in Level)


def test_every_real_certificate_agrees_with_its_key():
    """Thirteen and more keys come with one, so that this is no empty promise."""
    with_x5c = [
        (key, judged)
        for name, verdict in JUDGED.items()
        if isinstance(verdict.key_set, KeySet)
        for key, judged in zip(recorded_keys(name), verdict.key_set.keys, strict=True)
        if "x5c" in key
    ]

    assert len(with_x5c) > 13
    assert {j.faults for k, j in with_x5c if k["use"] == "sig"} == {()}


def recorded_keys(name: str) -> list[dict[str, object]]:
    keys: list[dict[str, object]] = json.loads((RECORDINGS / f"{name}.json").read_text())[
        "jwks"
    ]["body"]["keys"]
    return keys


def test_three_key_sets_of_one_issuer_differ():
    sets = [JUDGED[f"github-actions-{year}"].key_set for year in ("2022", "2023", "2025-jwks")]
    hashes = {s.sha256 for s in sets if isinstance(s, KeySet)}

    assert len(hashes) == 3


def test_key_sets_stand_where_their_documents_say():
    """Three that are not below their issuer: the fifth cause, and none of ours."""
    named = {
        name: JUDGED[name].discovery for name in ("google-2022", "gitlab-2025", "eks-discovery")
    }

    assert {name: d.jwks_uri for name, d in named.items() if isinstance(d, Discovery)} == {
        "google-2022": "https://www.googleapis.com/oauth2/v3/certs",
        "gitlab-2025": "https://gitlab.com/oauth/discovery/keys",
        "eks-discovery": "https://oidc.eks.us-east-1.amazonaws.com/id/"
        "1111222233334444555566667777888F/keys",
    }


def test_the_page_is_fresh():
    """Mend with `python -m exporter.demo.verdicts docs/real-issuers.md`."""
    assert (ROOT / "docs/real-issuers.md").read_text() == verdicts.page()


def test_the_page_says_why():
    page = verdicts.page()

    for verdict in JUDGED.values():
        assert f"| `{verdict.recording}` |" in page
        for finding in verdict.findings:
            assert finding.detail in page
        assert verdict.failure is None or verdict.failure.detail in page
