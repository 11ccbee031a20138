"""Plans for people: made, explained, compared; and when rounds are opened by them."""
