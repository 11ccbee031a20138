"""What members decide together: motions put to the vote, signatures collected, one transaction sent; faults brought to the chain."""
