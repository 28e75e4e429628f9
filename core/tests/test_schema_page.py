"""The page of the guide that says what each source keeps is what the code does."""

from tools.schema_types import PAGE, page


def test_the_page_of_types_and_sources_is_up_to_date(spark):
    assert page(spark) == PAGE.read_text(), "run: hatch run python -m tools.schema_types"
