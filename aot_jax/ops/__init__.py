"""Products of the network in the form that a device runs fast; each has a plain form that tests compare with."""
