"""The sequencer: takes from the queue, checks again, gives every entry its place in the log, and has custodians store
it."""
