# Thin aliases: the README shows the commands behind them.
PYTHON ?= python3.13
.PHONY: demo up test check bench compile
demo up test check bench compile:
	@$(PYTHON) -m local $@
