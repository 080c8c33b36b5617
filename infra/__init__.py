"""What joins the rooms and knows nothing of votes: configuration, keys, PostgreSQL, HTTP, processes, the queue between
intake and tally, and the `psephos` command that loads each room's commands. It imports audit and no other room."""
