"""Random schedules of faults over the real code of doors, sequencer, couriers and custodians, in one process and in no
time: disks, network, clocks and threads are simulated. One seed makes one schedule, always the same.
"""
