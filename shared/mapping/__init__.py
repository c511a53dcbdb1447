"""From a Graph object to a row: the attribute catalogue and its compiled form."""
