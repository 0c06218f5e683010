"""From the exemplars of metrics to pins: their traces are kept, whatever the policies say."""
