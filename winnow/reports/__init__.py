"""The report, data card and figures of a release."""
