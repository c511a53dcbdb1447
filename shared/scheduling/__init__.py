"""When jobs are due and how their runs begin: timetable, claims, quarantine, and the tick that looks after all of them."""
