"""Compare scores and verdicts of label quality on features whose wrong labels are known (`winnow bench labels`)."""
