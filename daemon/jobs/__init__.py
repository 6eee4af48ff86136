"""The life of a claimed photograph: ledger, scheduler, outcomes, publishing."""
