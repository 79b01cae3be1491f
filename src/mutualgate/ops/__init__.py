"""Metrics and health, for whoever watches the gate: `/metrics` for Prometheus, `/healthz` for a load balancer.

Knows the names of the metrics and the exposition format. Does not know where the numbers come from: it is given a
callable that returns a `Status`.

    status.py      what it is given
    metrics.py     the table of metrics, and their text
    service.py     the addresses
"""
