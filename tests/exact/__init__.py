"""At any start point, the rest of the notebook cannot tell a restored step from one that ran: proofs by example."""
