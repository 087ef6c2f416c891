"""``factory docs``: the pages that messages name."""

import click

from factory.cli.options import Invocation, common
from factory.pages import list_docs_pages, read_docs_page


@click.command(short_help="Show a page of the documentation, or list the pages.")
@click.argument("page", required=False)
@common
def command(invocation: Invocation, page: str | None) -> int:
    """Show a page of the documentation; list them if none is named.

    PAGE is a name such as images, a section of one such as rules#waivers, or a rule's code such as FAC331.
    The pages are installed with the factory and need no network.
    """
    return invocation.console.show(read_docs_page(page) if page else list_docs_pages())
