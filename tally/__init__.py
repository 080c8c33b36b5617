"""What happens to entries that intake has passed on: the sequencer puts them into the log; officials and trustees work
offline.
"""
