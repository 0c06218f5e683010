"""The Grafana dashboards, as code: `make dashboards` writes `deploy/grafana/dashboards/`.

model.py      what a dashboard is made of here, as values
grafana.py    from these values to Grafana's JSON
selectors.py  the labels that every query selects by
lag.py        Tailstream / Lag
sampling.py   Tailstream / Sampling
latency.py    Tailstream / Latency
resources.py  Tailstream / Resources
__main__.py   writes the files
"""
