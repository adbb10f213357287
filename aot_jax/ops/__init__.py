"""Operations of the network in forms that are fast on a device, each tested against a plain form."""
