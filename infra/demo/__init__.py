"""The demo: a real meeting, voted again on this machine with every service as a process of its own."""
