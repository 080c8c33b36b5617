"""The mathematics of an election: pure functions of bytes. No clock, randomness, file or network."""
