"""The door: the one place where anything enters an election. It checks, keeps, answers with a receipt, and passes on in shuffled batches."""
