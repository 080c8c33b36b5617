"""The mathematics of an election: pure functions of bytes. No clock, no randomness, no file, no network; randomness is an argument."""
