"""The voter's reference client: encrypts, proves, hands in, and keeps the proof that the ballot is recorded."""
