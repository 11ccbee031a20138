"""Where a model came from, for readers: its signed statements kept at hand, and a card that says what it is.

envelopes   every finalised round's DSSE envelope, put together from ledger and chain and kept by its CID
story       what chain and blobs tell of a model's rounds, as plain records
card        the story as Markdown;  card_html: as one page that loads nothing from elsewhere
"""
