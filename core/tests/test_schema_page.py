"""The page of the guide that says what each source keeps is what the code does."""

from gluewright_testing.sharing import once
from tools.schema_types import PAGE, page


@once(1)
def test_the_page_of_types_and_sources_is_up_to_date(spark):
    assert page(spark) == PAGE.read_text(), "run: hatch run python -m tools.schema_types"
