"""DynamoDB, with faster requests, expressions and values than ministack's, and items in less memory."""
