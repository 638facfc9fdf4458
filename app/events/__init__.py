"""The audit trail: what happened in a tenant, by whom, written in the transaction of the change.

Owns the tables `events`, `event_seals` and `unsealed_events`. Every domain records here; nobody changes or removes an
event or a seal, nor could the application's role. Once committed, events are sealed: each gets the next position of its
tenant's chain and a hash over itself and the hash before, so that `flask events verify` tells what somebody else has
changed. What has to miss no event follows the chain's positions: unlike times and ids, they appear in their order.
"""
