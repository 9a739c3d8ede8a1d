"""Generated parts of signed requests."""

from hypothesis import strategies as st

KEY_IDS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=32)
SECRETS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128)
TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=400)
REGIONS = st.sampled_from(
    ["us-east-1", "eu-central-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "us-isob-east-1"]
)
HEADER_VALUES = st.text(st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=80).filter(
    lambda text: bool(text.strip())
)
MOMENTS = st.integers(min_value=0, max_value=4102444800)
