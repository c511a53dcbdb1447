"""The embedded default: everything that Rollcall talks to in Azure, on this machine.

A development tool: it is not deployed, and nothing of the product imports it.
"""
