-- The logs in schema version 4.
CREATE TABLE predictions (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, prediction_id TEXT NOT NULL UNIQUE,
    time BIGINT, model_version TEXT, artifact_digest TEXT, scoring_path TEXT, inputs TEXT, prediction TEXT,
    probabilities TEXT, latency_us BIGINT, request_id TEXT, entity TEXT, event_time BIGINT, review BIGINT, role TEXT,
    experiment TEXT, arm TEXT, bucket BIGINT
);
CREATE INDEX predictions_time ON predictions (time);
CREATE INDEX predictions_review ON predictions (seq) WHERE review > 0;
CREATE TABLE labels (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, label_id TEXT NOT NULL UNIQUE,
    time BIGINT, prediction_id TEXT, entity TEXT, event_time BIGINT, label TEXT
);
CREATE INDEX labels_time ON labels (time);
CREATE INDEX labels_prediction ON labels (prediction_id);
CREATE TABLE skline_rejected_requests (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, count_id TEXT NOT NULL UNIQUE,
    time BIGINT, model_version TEXT, rule TEXT, column_name TEXT, requests BIGINT, row_count BIGINT
);
CREATE INDEX skline_rejected_requests_time ON skline_rejected_requests (time);
INSERT INTO predictions (
    prediction_id, time, model_version, artifact_digest, scoring_path, inputs, prediction, probabilities, latency_us,
    request_id, entity, event_time, review, role, experiment, arm, bucket
) VALUES (
    '0198a000000070008000000000000001', 1769860800000000, 'flights@0123456789ab',
    '0000000000000000000000000000000000000000000000000000000000000000', 'plan',
    '{"carrier":"UA","distance":1400,"wind":null}', 'false', '{"false":0.8123456789,"true":0.1876543211}', 12,
    'request-1', NULL, NULL, 0, 'champion', NULL, NULL, NULL
), (
    '0198a000000070008000000000000002', 1769860801000000, 'flights@0123456789ab',
    '0000000000000000000000000000000000000000000000000000000000000000', 'previous',
    '{"carrier":"B6","distance":0.30000000000000004}', 'true', NULL, NULL,
    NULL, '46f2b28241bd6bce3782a9b281bd5ee12c8ede9bce0f95970e828c3ea34d491f', 1769817600000000, 2, 'challenger', 'late-5', 'challenger', 9999
);
INSERT INTO labels (label_id, time, prediction_id, entity, event_time, label) VALUES
    ('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 1769947200000000, '0198a000000070008000000000000001', NULL, NULL, 'true'),
    ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb', 1769947201000000, NULL,
        '46f2b28241bd6bce3782a9b281bd5ee12c8ede9bce0f95970e828c3ea34d491f', 1769817600000000, 'false');
CREATE TABLE skline_log_schema (version INTEGER PRIMARY KEY, time BIGINT NOT NULL);
INSERT INTO skline_log_schema (version, time) VALUES (4, 1769860000000000);
