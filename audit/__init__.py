"""What anyone may check, and all that is needed to check it: the mathematics, the log, the record. Imports no other
room.
"""
