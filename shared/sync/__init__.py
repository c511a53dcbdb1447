"""The sync engine: schedule, runs, slices, streams. Azure is behind shared.storage, shared.graph and shared.vault."""
