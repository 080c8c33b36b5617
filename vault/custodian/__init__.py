"""One custodian: `schema` and `store` keep the log, `cosign` decides what may be signed, `custody` joins them, `serve`
is HTTP.
"""
