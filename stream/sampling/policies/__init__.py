"""The policies, one file per type; `policy` is their contract, `evaluate` combines their votes."""
