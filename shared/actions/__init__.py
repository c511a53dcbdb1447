"""People actions: planned from a live look at the target, approved, sent once, read back, undone.

`people.py`, `access.py`, `groups.py`, `licences.py`, `devices.py` and `tenant.py` hold the actions, one function each;
`queries.py` what is only asked; `leaver.py` plans of many actions. `planner.py` makes plans, `worker.py` carries them out,
`service.py` is what the API calls.
"""
