"""Reports over what was collected. A report is a function with what its rows hold and which facts they rest on."""

from shared.reports import passwords, people, tenant, use  # noqa: F401 - they register what they declare
from shared.reports.base import REPORTS, Asked, Column, ReportKind

__all__ = ["REPORTS", "Asked", "Column", "ReportKind"]
