"""A Functions host on Microsoft's own worker library: HTTP, timers, Storage queues."""
