"""Reading what was collected: people and devices, by id, in order, by prefix."""
