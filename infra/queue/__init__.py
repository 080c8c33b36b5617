"""The one-way queue between intake and tally: ingress and egress, two services over one table."""
