package tilelog

import "context"

// AddAll adds new entries and publishes the tree once.
func (l *Log) AddAll(ctx context.Context, entries ...[]byte) error {
	for _, entry := range entries {
		if _, err := l.write(entry); err != nil {
			return err
		}
	}
	return l.publish(ctx)
}
