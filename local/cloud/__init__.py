"""The simulated Microsoft cloud: Entra, Graph, Key Vault, the identity endpoint, and a proxy before the storage emulator."""
