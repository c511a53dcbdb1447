"""The sync engine: schedule, runs, slices, streams. Azure is behind the rooms storage, graph and vault."""
