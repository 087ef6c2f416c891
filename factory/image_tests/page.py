"""The page that shows one run of the tests of an image."""

from factory.image_tests.outcome import Report


def report_page(report: Report) -> str:
    """The report as one self-contained HTML page."""
    return report.image
