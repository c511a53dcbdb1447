"""Microsoft Graph, simulated: one tenant from a seed, answers only what Microsoft's description contains."""
