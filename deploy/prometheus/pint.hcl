# pint's checks that need no Prometheus, as `make check-extended` runs them.
checks {
  disabled = [
    # Divisors here are counts of what exists, and the configured budget, which is not zero.
    "promql/nan",
    # Votes, facts and SLI are groups of their own, so that one slow window does not delay
    # the votes; what is read one evaluation late is at most 30 s old.
    "rule/dependency",
  ]
}
