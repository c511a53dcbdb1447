# Thin aliases: the README shows the commands behind them. Any Python from 3.9 on will do, it finds a 3.13;
# `make demo PYTHON=/path/to/python3.13` names one.
PYTHON ?= python3
.PHONY: demo up test check prove bench compile
demo up test check prove bench compile:
	@$(PYTHON) -m local $@
