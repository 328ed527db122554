"""The one way to make a page: templates that escape all they are given, with this report's styles and macros."""

import jinja2

from . import text


def page_environment(package: str) -> jinja2.Environment:
    """Make the environment of a package's pages.

    Args:
        package: Whose `templates` folder is looked into first; `style.css` and `macros.jinja` of the report come after.

    Returns:
        It escapes every value, refuses unknown names, and has the filters `plain`, `count`, `percent`, `value`, `many`.
    """
    folders = [package, __package__] if package != __package__ else [package]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name, "templates") for name in folders]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        plain=text.plain, count=text.count, percent=text.percent, value=text.value, many=text.many
    )
    return environment
