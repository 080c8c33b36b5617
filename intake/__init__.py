"""Where people are: the door that takes entries in, the offline register, and the voter's reference client.

Nothing here persists what belongs to the record; the door passes entries on and forgets them once the log holds them.
"""
