"""The custodians: each keeps the whole log on a disk of its own, cosigns what it has stored, and serves it to all."""
