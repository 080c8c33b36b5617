"""The door: takes in ballots and every act of an official, checks, keeps, answers with a receipt, and passes on in
shuffled batches.
"""
